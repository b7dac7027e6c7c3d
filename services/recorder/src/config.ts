import { type Env, required } from '@sluice/runtime';
import type { Database } from './database.ts';

/** `SLUICE_CLICKHOUSE_URL`, else chDB in `SLUICE_DATABASE_DIR`. Throws `ConfigError`. */
export function databaseOf(env: Env): Database {
  const url = env['SLUICE_CLICKHOUSE_URL'];
  if (url !== undefined && url !== '') return { kind: 'server', url };
  return { kind: 'embedded', dir: required(env, 'SLUICE_DATABASE_DIR') };
}
