/** Call outcomes, a closed set: every call ends with exactly one. */
export const outcomes = {
  completed: 'the cluster answered and the agent has the whole answer',
  refused: 'Sluice answered; the cluster saw nothing of the call',
  aborted: 'the agent went away before it had the whole answer',
  cut: 'Sluice ended a call the cluster had seen; the reason code says why',
  failed: 'the connection to the cluster broke after the call went there; its effect is unknown',
  'presumed-unknown': 'the writer of its record died before its end; nobody knows how the call ended',
} as const;

export type Outcome = keyof typeof outcomes;
