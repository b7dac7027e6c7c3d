import type { RequestAttributes } from '@sluice/model';
import type { Target } from './target.ts';

/** A call that waits for a reviewer, with its body as it has been read. */
export interface HeldCall {
  readonly attributes: RequestAttributes;
  readonly method: string;
  readonly target: Target;
  /** `json`, `apply` (server-side apply) and `json-patch` have passed `checkJson`; nobody has looked into `opaque`. */
  readonly kind: 'none' | 'json' | 'apply' | 'json-patch' | 'opaque';
  /** The media type, in lower case and without parameters; empty without a body. */
  readonly contentType: string;
  readonly body: Buffer;
}
