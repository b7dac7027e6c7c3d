import { type ReasonCode, reasonOf } from '@sluice/model';

/** What a refusal says, beyond its reason code. */
export interface Refused {
  readonly reasonCode: ReasonCode;
  /** One sentence that reads well after kubectl's `Error from server (Forbidden): `. */
  readonly message: string;
  readonly policy?: string;
  readonly rule?: string;
  readonly call?: string;
  /** The approval that is open for the call, or was. */
  readonly approval?: string;
  /** What the agent may do instead. */
  readonly hint?: string;
}

/** A refusal as `metav1.Status`: HTTP status, headers and body. */
export function refusalStatus(refused: Refused): { code: number; headers: Record<string, string>; body: string } {
  const { http, status, retryAfterSeconds, askable } = reasonOf(refused.reasonCode);
  const cause = (reason: string, message: string | undefined): { reason: string; message: string }[] =>
    message === undefined || message === '' ? [] : [{ reason, message }];
  const body = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: refused.message,
    reason: status,
    details: {
      causes: [
        ...cause('SluiceReasonCode', refused.reasonCode),
        ...cause('SluicePolicy', refused.policy),
        ...cause('SluiceRule', refused.rule),
        ...cause('SluiceCall', refused.call),
        ...cause('SluiceApproval', refused.approval),
        ...cause('SluiceAskable', askable === true ? 'yes' : 'no'),
        ...cause('SluiceHint', refused.hint),
      ],
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    },
    code: http,
  };
  return {
    code: http,
    headers: {
      'content-type': 'application/json',
      ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
      ...(http === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    },
    body: JSON.stringify(body),
  };
}

const standardReasons: Readonly<Record<number, readonly [reason: string, message: string]>> = {
  400: ['BadRequest', 'the cluster rejected the request'],
  401: ['Unauthorized', 'the cluster did not accept the identity Sluice used'],
  403: ['Forbidden', 'the cluster forbids the request'],
  404: ['NotFound', 'the server could not find the requested resource'],
  405: ['MethodNotAllowed', 'the server does not allow this method on the requested resource'],
  429: ['TooManyRequests', 'the cluster has received too many requests and asks to try again later'],
};

/** A `Status` in place of an error the cluster sent as something other than JSON: its text cannot be masked. */
export function statusInsteadOf(code: number): string {
  const [reason, message] = standardReasons[code] ?? ['InternalError', `the cluster answered ${code}`];
  return JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code });
}
