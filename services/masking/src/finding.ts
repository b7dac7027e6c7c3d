import type { DetectorName } from '@sluice/model';

/** A secret in a text: `[start, end)`, bytes. */
export interface Finding {
  readonly start: number;
  readonly end: number;
  /** What found it. `known`: a value that the agent was shown masked before. `pattern`: one of a policy. */
  readonly by: DetectorName | 'known' | 'pattern';
}

/**
 * Finds the secrets in a whole text (UTF-8, but any bytes will do): in order, without overlap. `also`: detectors beside
 * those that always look.
 */
export type FindSecrets = (text: Buffer, also: readonly DetectorName[]) => readonly Finding[];
