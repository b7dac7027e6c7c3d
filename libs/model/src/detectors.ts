/** Every detector, a closed set: a row finds one sort of secret in any text, and says so in these words. */
export const detectors = {
  jwt: 'JSON Web Tokens, those of service accounts among them',
  'private-key': 'private keys in PEM',
} as const satisfies Record<string, string>;

export type DetectorName = keyof typeof detectors;
