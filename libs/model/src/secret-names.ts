/** Runs of letters that make a name one of a secret, in names without separators too: `dbpassword`, `APIKEY`. */
export const secretStems = [
  'password',
  'passwd',
  'passphrase',
  'passcode',
  'secret',
  'token',
  'credential',
  'apikey',
  'api_key',
  'api-key',
  'accesskey',
  'access_key',
  'access-key',
  'privatekey',
  'private_key',
  'private-key',
  'signingkey',
  'signing_key',
  'signing-key',
  'encryptionkey',
  'encryption_key',
  'encryption-key',
  'client-key-data',
  'connectionstring',
  'connection_string',
  'connection-string',
] as const;

/** Whole words that do so, too short to be looked for inside others. */
const secretWords: ReadonlySet<string> = new Set([
  'pwd',
  'pass',
  'pw',
  'psk',
  'pin',
  'otp',
  'dsn',
  'jwt',
  'cookie',
  'creds',
]);

/** What a name ends with that speaks about a secret and does not hold it. */
const aboutWords: ReadonlySet<string> = new Set(
  (
    'file files path paths dir directory mount name names url uri urls ref refs reference references length len ttl expiry ' +
    'expires expiration age count size policy type types id ids enabled required limit timeout min max seconds ms minutes ' +
    'hours days version algorithm alg provider providers issuer audience endpoint host class kind status prefix suffix ' +
    'review request requests controller manager store template selector label labels annotation annotations namespace ' +
    'namespaces format rotation interval attempts retries owner source mode strategy automount optional hint field fields ' +
    'keys tokens secrets passwords generation lifetime duration period usage used budget'
  ).split(' '),
);

/**
 * Whether a field, variable or key of such a name holds a secret: `DB_PASSWORD`, `apiKey`, `client-secret`. `false` for
 * what speaks about one: `PASSWORD_FILE`, `secretName`, `tokenExpirationSeconds`, and for plurals, which hold counts
 * and references.
 */
export function isSecretName(name: string): boolean {
  if (name.length > maxNameLength) return false;
  const lower = name.toLowerCase();
  const stem = secretStems.some((one) => lower.includes(one));
  const words = wordsOf(name);
  if (!stem && !words.some((word) => secretWords.has(word))) return false;
  return !aboutWords.has(words.at(-1) ?? '');
}

/** Longer names are no names. */
const maxNameLength = 256;

/** `tokenExpirationSeconds`, `TOKEN_EXPIRATION_SECONDS` and `token.expiration-seconds` have the same words. */
function wordsOf(name: string): string[] {
  const parted = name.replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2').replaceAll(/([A-Z])([A-Z][a-z])/g, '$1 $2');
  return parted
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter((word) => word !== '');
}

/** Fields of any kind that hold a secret, if they hold a text. */
const secretFields: ReadonlySet<string> = new Set([
  'password',
  'passwd',
  'passphrase',
  'token',
  'accesstoken',
  'authtoken',
  'bearertoken',
  'refreshtoken',
  'idtoken',
  'apikey',
  'clientsecret',
  'secretaccesskey',
  'privatekey',
]);

const longestField = 16;

/** Whether a field of such a name holds a secret in any object, if it holds a text. */
export function isSecretField(name: string): boolean {
  return name.length <= longestField && secretFields.has(name.toLowerCase());
}
