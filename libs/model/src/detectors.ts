interface Detector {
  /** What it finds, for the docs. */
  readonly finds: string;
  /** `always`: looks at every text. `named`: only where a rule of a policy names it. */
  readonly looks: 'always' | 'named';
}

/** Every detector, a closed set. How each finds what it finds stands in the masking service. */
export const detectors = {
  jwt: { finds: 'JSON Web Tokens, those of service accounts among them', looks: 'always' },
  'private-key': { finds: 'private keys in PEM', looks: 'always' },
  'aws-access-key': { finds: 'access keys of AWS', looks: 'always' },
  'service-token': {
    finds: 'tokens that begin as GitHub, GitLab, Slack, Stripe, Google, npm and others write theirs',
    looks: 'always',
  },
  'url-password': { finds: 'passwords in URLs, `scheme://user:password@host`', looks: 'always' },
  authorization: { finds: 'what follows the scheme in an `Authorization` header, and bearer tokens', looks: 'always' },
  'docker-auth': { finds: 'credentials in docker configs', looks: 'always' },
  assigned: {
    finds: 'what is assigned to a name that means a secret: `DB_PASSWORD=…`, `"token": "…"`, `--password …`',
    looks: 'always',
  },
  encoded: { finds: 'private keys, JSON Web Tokens and some others inside base64', looks: 'always' },
  'high-entropy': { finds: 'words of 20 characters and more that look random', looks: 'named' },
} as const satisfies Record<string, Detector>;

export type DetectorName = keyof typeof detectors;

/** Whether a text names a detector. */
export function isDetectorName(name: string): name is DetectorName {
  return Object.hasOwn(detectors, name);
}
