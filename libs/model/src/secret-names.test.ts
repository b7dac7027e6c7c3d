import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSecretName } from './secret-names.ts';

const secret =
  'password PASSWORD DB_PASSWORD dbPassword db.password db-password MYSQL_ROOT_PASSWORD passwd passphrase token apiToken ' +
  'API_TOKEN apiKey API_KEY APIKEY x-api-key client_secret clientSecret SECRET AWS_SECRET_ACCESS_KEY secretKey ' +
  'private-key privateKey client-key-data DB_PWD REDIS_PASS MAIN_DSN credentials connectionString PASSWORD2 token_value';
const notSecret =
  'name LOG_LEVEL PASSWORD_FILE passwordPath secretName secretKeyRef tokenExpirationSeconds TOKEN_TTL PASSWORD_MIN_LENGTH ' +
  'imagePullSecrets secrets maxTokens automountServiceAccountToken_enabled keyboard monkey passenger compass bypass pinned ' +
  'tokenReview TOKEN_URL secretRef passwordPolicy encryption opinion';

for (const name of secret.split(' ')) test(`${name} is the name of a secret`, () => assert.ok(isSecretName(name)));
for (const name of notSecret.split(' ')) test(`${name} is not`, () => assert.ok(!isSecretName(name)));

test('what is too long is no name', () => assert.ok(!isSecretName(`password${'x'.repeat(300)}`)));
