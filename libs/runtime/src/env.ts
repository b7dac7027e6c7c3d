/** The environment as `main.ts` hands it on; no other file reads `process.env`. */
export type Env = Readonly<Record<string, string | undefined>>;

/** Code `BadConfig`: a setting is missing or cannot be read. The message is one line with a way out. */
export class ConfigError extends Error {
  readonly code = 'BadConfig';
}

/** A setting that must be there. */
export function required(env: Env, name: string): string {
  const value = env[name];
  if (value === undefined || value === '') throw new ConfigError(`${name} is not set; \`sluice up\` sets it`);
  return value;
}

/** A whole number ≥ 0, or the default when the setting is absent. */
export function integer(env: Env, name: string, byDefault: number): number {
  const text = env[name];
  if (text === undefined || text === '') return byDefault;
  if (!/^\d{1,15}$/.test(text)) throw new ConfigError(`${name} is ${JSON.stringify(text)}; a whole number is wanted`);
  return Number(text);
}

/** Names with commas between them; none when the setting is absent. */
export function names(env: Env, name: string): string[] {
  return (env[name] ?? '')
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');
}
