import type { ReasonCode } from '@sluice/model';

/** The one way a call ends early. Whoever catches it records the refusal and answers with its `Status`. */
export class Refusal extends Error {
  readonly reasonCode: ReasonCode;
  readonly hint: string;

  /** `message`: one sentence for the agent. `hint`: what to do instead. Neither quotes what the agent sent raw. */
  constructor(reasonCode: ReasonCode, message: string, hint = '') {
    super(message);
    this.reasonCode = reasonCode;
    this.hint = hint;
  }
}
