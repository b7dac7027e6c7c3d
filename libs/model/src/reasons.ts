interface Reason {
  /** HTTP status of the refusal. */
  readonly http: number;
  /** `metav1.StatusReason`; kubectl prints it in brackets. */
  readonly status: string;
  /** Seconds for `Retry-After`: only where the call has not gone upstream and waiting helps. */
  readonly retryAfterSeconds?: number;
  /** A reviewer may let the same call through: it is worth asking again. */
  readonly askable?: true;
  /** What it means, for the docs. */
  readonly summary: string;
}

/**
 * Every reason code Sluice gives, a closed set. `docs/reasons.md` is generated from it, and a test
 * holds the registry, the page and the code that uses it against each other.
 */
export const reasons = {
  AllowedByRule: { http: 200, status: 'Success', summary: 'A rule allows the call.' },
  AllowedByApproval: {
    http: 200,
    status: 'Success',
    summary: 'A rule asks for an approval, and a reviewer has approved the call.',
  },
  TargetNotCanonical: {
    http: 400,
    status: 'BadRequest',
    summary: 'The request target or a header can be read in more than one way, so it is not read at all.',
  },
  BodyNotReadable: {
    http: 400,
    status: 'BadRequest',
    summary: 'The request body is not what its Content-Type says, or stopped half way.',
  },
  UpgradeRequired: {
    http: 400,
    status: 'BadRequest',
    summary: 'An exec, attach or port-forward did not ask for a protocol that can carry it: WebSocket or SPDY/3.1.',
  },
  StreamNotReadable: {
    http: 400,
    status: 'BadRequest',
    summary: 'What came over a stream is not what its protocol says.',
  },
  TokenExpired: {
    http: 401,
    status: 'Unauthorized',
    summary: 'The agent\u2019s token ended while its call ran, and the call was cut.',
  },
  NotAuthenticated: {
    http: 401,
    status: 'Unauthorized',
    summary: 'No bearer token, or one that is expired, forged, or of an issuer that is not configured.',
  },
  DeniedByRule: { http: 403, status: 'Forbidden', summary: 'A rule with `effect: deny` matched.' },
  NoRuleMatched: { http: 403, status: 'Forbidden', summary: 'No rule allows the call, and the default is deny.' },
  ObligationConflict: {
    http: 403,
    status: 'Forbidden',
    summary: 'Two applicable policies demand different impersonation.',
  },
  PodNotReadable: {
    http: 403,
    status: 'Forbidden',
    summary:
      'A rule depends on the pod of an exec, attach or port-forward, and Sluice cannot read it; or the pod refers to more Secrets than Sluice can look for.',
  },
  Killed: { http: 403, status: 'Forbidden', summary: 'An operator has ended the call, and says why.' },
  GrantExpired: {
    http: 403,
    status: 'Forbidden',
    askable: true,
    summary: 'The approval by which a stream ran has expired, and the stream was cut.',
  },
  StreamRefused: {
    http: 403,
    status: 'Forbidden',
    summary: 'The cluster refused an exec or an attach for which a reviewer had been waited.',
  },
  ApprovalRequired: {
    http: 403,
    status: 'Forbidden',
    askable: true,
    summary:
      'The policy wants a reviewer to approve the call first, and none has decided while it was held. The same call, made again, goes through once one approves.',
  },
  ApprovalDenied: { http: 403, status: 'Forbidden', summary: 'A reviewer has denied the call.' },
  ApprovalExpired: {
    http: 403,
    status: 'Forbidden',
    askable: true,
    summary: 'No reviewer decided, or nobody used the approval, before it expired.',
  },
  ApprovalUsed: {
    http: 403,
    status: 'Forbidden',
    askable: true,
    summary: 'The approval was for one call, and another one like it has used it.',
  },
  BodyOpaque: {
    http: 403,
    status: 'Forbidden',
    summary: 'A rule depends on the request body, and Sluice cannot read a body of this kind.',
  },
  SelectorReadsMasked: {
    http: 403,
    status: 'Forbidden',
    summary: 'A selector asks about a field that is masked; its answers would give the value away.',
  },
  PatchReadsMasked: {
    http: 403,
    status: 'Forbidden',
    summary: 'A JSON patch compares or copies a field that is masked; its outcome would give the value away.',
  },
  MethodNotAllowed: {
    http: 405,
    status: 'MethodNotAllowed',
    summary: 'The HTTP method stands for no Kubernetes verb.',
  },
  NotAcceptable: {
    http: 406,
    status: 'NotAcceptable',
    summary: 'The agent accepts no media type that Sluice can mask; JSON is one.',
  },
  ObjectChanged: {
    http: 409,
    status: 'Conflict',
    askable: true,
    summary: 'The object of an approved call is another one than a reviewer was asked about.',
  },
  BodyTooLarge: { http: 413, status: 'RequestEntityTooLarge', summary: 'The request body exceeds the limit.' },
  MediaTypeNotSupported: {
    http: 415,
    status: 'UnsupportedMediaType',
    summary: 'The request body is of a media type that Sluice cannot judge; JSON, YAML and protobuf it can.',
  },
  MaskedValueWritten: {
    http: 422,
    // With `Invalid`, kubectl would print the causes and leave out the message.
    status: 'Forbidden',
    summary: 'The body holds a mask that Sluice put in place of a secret; writing it back would destroy the secret.',
  },
  TooManyAsks: {
    http: 429,
    status: 'TooManyRequests',
    summary: 'The agent has asked for more approvals than reviewers can be expected to look at.',
  },
  EffectUnknown: {
    http: 502,
    status: 'EffectUnknown',
    summary: 'The connection to the cluster broke after the call went there; the change may have taken effect.',
  },
  ResponseWithheld: {
    http: 502,
    status: 'ResponseWithheld',
    summary: 'The cluster answered, but the answer could not be masked or recorded; a change may have taken effect.',
  },
  PolicyUnavailable: {
    http: 503,
    status: 'ServiceUnavailable',
    retryAfterSeconds: 1,
    summary: 'No policy worker answered in time with a decision that can be trusted.',
  },
  ApprovalUnavailable: {
    http: 503,
    status: 'ServiceUnavailable',
    retryAfterSeconds: 1,
    summary: 'The call needs an approval, and nobody answers who could open or use one.',
  },
  MaskingUnavailable: {
    http: 503,
    status: 'ServiceUnavailable',
    retryAfterSeconds: 1,
    summary: 'No masking worker answered in time, before the call went to the cluster.',
  },
  RecordUnavailable: {
    http: 503,
    status: 'ServiceUnavailable',
    retryAfterSeconds: 1,
    summary: 'The call could not be recorded, so it was not made.',
  },
  ClusterUnreachable: {
    http: 503,
    status: 'ServiceUnavailable',
    retryAfterSeconds: 1,
    summary: 'The cluster could not be reached; it saw nothing of the call.',
  },
  AuthorityLost: {
    http: 503,
    status: 'ServiceUnavailable',
    retryAfterSeconds: 1,
    summary: 'Ingress has lost touch with the writer of the policies for five seconds, so it trusts none.',
  },
  AuthorityChanged: {
    http: 503,
    status: 'ServiceUnavailable',
    retryAfterSeconds: 1,
    summary: 'The policies changed while the call was on its way; it was not made, and may be tried again.',
  },
  DeadlineReached: {
    http: 502,
    status: 'Timeout',
    summary: 'The call ran as long as the policy lets it run, and was cut; a change may have taken effect.',
  },
  Draining: {
    http: 503,
    status: 'ServiceUnavailable',
    retryAfterSeconds: 1,
    summary: 'Sluice is stopping and takes no new calls.',
  },
} as const satisfies Record<string, Reason>;

export type ReasonCode = keyof typeof reasons;

/** The registry row of a code, with the optional fields visible to the type checker. */
export function reasonOf(code: ReasonCode): Reason {
  return reasons[code];
}
