// Writes the pages that are made from code: `npm run docs`. A test holds them against it.
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { approvalStates, detectors, outcomes, type ReasonCode, reasonOf, reasons } from '../libs/model/src/index.ts';

export const reasonsPage = 'docs/reasons.md';
export const detectorsPage = 'docs/detectors.md';

/** `docs/reasons.md`, as the registry has it. */
export function renderReasons(): string {
  const rows = (Object.keys(reasons) as ReasonCode[]).map((code) => {
    const { http, status, retryAfterSeconds, summary } = reasonOf(code);
    return `| \`${code}\` | ${http} | ${status} | ${retryAfterSeconds === undefined ? '' : `${retryAfterSeconds} s`} | ${summary} |`;
  });
  const ends = Object.entries(outcomes).map(([outcome, meaning]) => `| \`${outcome}\` | ${meaning} |`);
  const states = Object.entries(approvalStates).map(([state, meaning]) => `| \`${state}\` | ${meaning} |`);
  return `# Reason codes, outcomes and approval states

Made from \`libs/model/src\` by \`npm run docs\`. The lists are closed.

A refusal is a \`metav1.Status\`; its \`details.causes\` have \`SluiceReasonCode\`, \`SluicePolicy\`, \`SluiceRule\`,
\`SluiceCall\`, \`SluiceApproval\`, \`SluiceAskable\` and \`SluiceHint\`, each with its value as \`message\`. Askable is \`yes\`
where a reviewer may let the same call through when it is made again. \`Retry-After\` is there only where the
call has not gone upstream and waiting helps.

| code | HTTP | status reason | Retry-After | means |
|---|---|---|---|---|
${rows.join('\n')}

Every recorded call ends with one outcome:

| outcome | means |
|---|---|
${ends.join('\n')}

An approval is in one state at a time:

| state | means |
|---|---|
${states.join('\n')}
`;
}

/** `docs/detectors.md`, as the registry has it. */
export function renderDetectors(): string {
  const rows = Object.entries(detectors).map(
    ([name, { finds, looks }]) =>
      `| \`${name}\` | ${finds} | ${looks === 'always' ? 'at every text' : 'where a rule names it'} |`,
  );
  return `# Detectors

Made from \`libs/model/src/detectors.ts\` by \`npm run docs\`. The list is closed. How each finds what it finds, with what it
finds and what it leaves alone, stands in \`services/masking/src/detectors.ts\` and its test.

| detector | finds | looks |
|---|---|---|
${rows.join('\n')}
`;
}

if (process.argv[1] === import.meta.filename) {
  const root = resolve(import.meta.dirname, '..');
  writeFileSync(join(root, reasonsPage), renderReasons());
  writeFileSync(join(root, detectorsPage), renderDetectors());
}
