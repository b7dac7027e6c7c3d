// Texts with secrets, for tests. Values are put together here, so that nobody takes them for real ones.
import type { DetectorName } from '@sluice/model';

const x = (length: number): string => 'aB3'.repeat(length).slice(0, length);
const jwt = ['{"alg":"none","kid":"a"}', '{"iss":"nobody"}', 'unsigned']
  .map((part) => Buffer.from(part).toString('base64url'))
  .join('.');
export const label = 'PRIVATE KEY';
const awsPrefix = 'AKIA';
const pem = `-----BEGIN ${label}-----\nMIIB\n${x(64)}\n-----END ${label}-----`;
const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** A text, the part of it that is a secret, and the row that says so. */
export const secretTexts: readonly (readonly [by: DetectorName, text: string, secret: string])[] = [
  ['jwt', `a ${jwt} b`, jwt],
  ['jwt', `token ${jwt}`, jwt],
  ['private-key', `a\n${pem}\nb`, pem],
  ['private-key', `-----END CERTIFICATE-----\n${pem}\nb`, pem],
  ['private-key', JSON.stringify(pem).slice(1, -1), JSON.stringify(pem).slice(1, -1)],
  ['private-key', pem.replaceAll('PRIVATE', 'RSA PRIVATE'), pem.replaceAll('PRIVATE', 'RSA PRIVATE')],
  ['aws-access-key', `id ${awsPrefix}${'Q7'.repeat(8)}.`, `${awsPrefix}${'Q7'.repeat(8)}`],
  ...(
    [
      ['ghp_', 36],
      ['github_pat_', 30],
      ['glpat-', 20],
      ['xoxb-', 30],
      ['sk_live_', 24],
      ['AIza', 35],
      ['npm_', 36],
      ['sk-ant-', 40],
      ['hvs.', 30],
    ] as const
  ).map(([prefix, length]) => ['service-token', `a ${prefix}${x(length)} b`, `${prefix}${x(length)}`] as const),
  ['url-password', 'postgres://user:hunter2@db:5432/shop', 'hunter2'],
  ['url-password', 'https://u:p@ss@host/x?a=b@c', 'p@ss'],
  ['authorization', `Authorization: Bearer ${x(20)}\r\n`, x(20)],
  ['authorization', `"Authorization","value":"Basic ${x(20)}"`, x(20)],
  ['authorization', `curl -H 'authorization: token ${x(20)}'`, x(20)],
  ['authorization', `sent bearer ${x(20)} to`, x(20)],
  ['docker-auth', `{"auths":{"r":{"auth":"${x(24)}"}}}`, x(24)],
  ['assigned', 'DB_PASSWORD=hunter2', 'hunter2'],
  ['assigned', 'password: hunter2', 'hunter2'],
  ['assigned', '{"apiKey": "abcd1234"}', 'abcd1234'],
  ['assigned', '{\\"clientSecret\\":\\"abcd\\"}', 'abcd'],
  ['assigned', "passwd => 'it is long'", 'it is long'],
  ['assigned', 'password="a \\"quoted\\" word"', 'a \\"quoted\\" word'],
  ['assigned', 'login --password hunter2 --name a', 'hunter2'],
  ['assigned', '--token=abcdef', 'abcdef'],
  ['assigned', 'login\n--token\nabcdef\n', 'abcdef'],
  ['assigned', 'name: DB_PASSWORD\n  value: hunter2', 'hunter2'],
  ['assigned', '{"name":"DB_PASSWORD","value":"hunter2"}', 'hunter2'],
  ['assigned', '/x?access_token=abcdef&a=b', 'abcdef'],
  ['assigned', 'q=access_token%3Dabcdef&a=b', 'abcdef'],
  ['assigned', 'secret: $S token: abcdefgh\n', 'abcdefgh'],
  ['assigned', 'client-key-data: abcdef==\n', 'abcdef=='],
  ['assigned', 'password: |\n  hunter2\nuser: a', 'hunter2'],
  ['assigned', '\x1b[34mDB_PWD\x1b[0m=\x1b[01;31m\x1b[Khunter2\x1b[m\n', 'hunter2'],
  ['assigned', '\x1b[34;1m"password"\x1b[0m:\x1b[0m \x1b[0;32m"hunter2"\x1b[0m', 'hunter2'],
  ['service-token', `\x1b[32mghp_${x(36)}\x1b[0m`, `ghp_${x(36)}`],
  ['service-token', `{"text":"a\\nghp_${x(36)}"}`, `ghp_${x(36)}`],
  ['assigned', `aws_secret_access_key = ${x(40)}\n`, x(40)],
  ['assigned', `users:\n- user:\n    token: ${x(20)}\n`, x(20)],
  ['encoded', base64(`x ${pem}`), base64(`x ${pem}`).slice(base64(`x ${pem}`).indexOf('BSSVZBVEUgS0VZ'))],
];
