import type { ReasonCode } from '@sluice/model';

/** The one way a call ends early. Whoever catches it records the refusal and answers with its `Status`. */
export class Refusal extends Error {
  readonly reasonCode: ReasonCode;
  readonly hint: string;
  /** The approval it is about; empty where it is about none. */
  readonly approval: string;

  /** `message`: one sentence for the agent. `hint`: what to do instead. Neither quotes what the agent sent raw. */
  constructor(reasonCode: ReasonCode, message: string, hint = '', approval = '') {
    super(message);
    this.reasonCode = reasonCode;
    this.hint = hint;
    this.approval = approval;
  }
}
