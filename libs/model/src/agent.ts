/** The autonomous caller, as its verified token names it. */
export interface Agent {
  /** `sub` of the token. Unique only together with `issuer`. */
  readonly name: string;
  /** `iss` of the token, exactly as configured. */
  readonly issuer: string;
  /** The groups claim; empty when the token has none. */
  readonly groups: readonly string[];
}
