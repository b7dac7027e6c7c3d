// The JSON Schema that editors use, held against the compiler: what one refuses the other does not accept.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
// Of JSON Schema, this validator knows the keywords in use here; definitions it seeks under their older name.
import { validateOptsAgainstSchema } from 'nx/src/utils/params.js';
import { parseAllDocuments } from 'yaml';
import { compile } from './compile.ts';
import { faults, issuers, valid } from './policy-texts.ts';

const deploy = new URL('../../../deploy/', import.meta.url);
const text = readFileSync(new URL('schemas/access-policy.schema.json', deploy), 'utf8');

interface Schema {
  readonly description?: string;
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly $defs?: Readonly<Record<string, Schema>>;
}
const schema = JSON.parse(text) as Schema;

/** Whether every document of a file is YAML that the schema accepts. */
function isAccepted(file: string): boolean {
  const { $defs, ...policy } = JSON.parse(text.replaceAll('#/$defs/', '#/definitions/')) as Schema;
  return parseAllDocuments(file, { prettyErrors: false }).every((document) => {
    if (document.errors.length > 0) return false;
    const wrapped = { properties: { policy }, definitions: $defs };
    try {
      validateOptsAgainstSchema({ policy: document.toJS() as unknown }, wrapped as never);
      return true;
    } catch {
      return false;
    }
  });
}

function isCompiled(file: string): boolean {
  return compile([{ name: 'p.yaml', text: file }], issuers).kind === 'set';
}

/**
 * Faults that a schema cannot see: they are in what is configured, in several fields or documents together, or inside a
 * text. And bounds, which this validator does not look at.
 */
const compilerOnly: readonly string[] = [
  'no policy at all',
  'an issuer that is not configured',
  'a second policy of the same name',
  'a condition of an unknown variable',
  'a condition for a URL at fault',
  'a condition on the value of a Secret',
  'a quoted path that is none',
  'an unknown detector',
  'a pattern that is no expression',
  'a pattern without an end',
  'a pattern that matches everywhere',
  'mask none in a deny',
  'mask none for everything',
  'an exec that says nothing',
  'port 0',
  'a port that is too large',
  'a half of a port',
  'an exec beside pods',
  'an exec beside a port-forward',
  'a terminal in a deny',
  'stdin in an ask',
  'an opaque that asks in a deny',
  'an interactive that denies in an ask',
  'ports beside an exec',
  'ports in an ask',
  'ports and an exec',
  'a range that runs backwards',
  'an approval in an allow that never asks',
  'a condition on the pod of no stream',
  'an approval in a rule that allows',
  'an approval in a rule that denies',
  'a hold that is too long',
  'a hold longer than the approval is open',
  'an approval open for nobody',
  'an approval open for too long',
];

for (const [what, file] of faults.filter(([name]) => !compilerOnly.includes(name))) {
  test(`the schema and the compiler refuse ${what}`, () => {
    assert.ok(!isAccepted(file));
    assert.ok(!isCompiled(file));
  });
}

for (const name of compilerOnly) {
  test(`only the compiler refuses ${name}`, () => {
    const file = faults.find(([what]) => what === name)?.[1];
    assert.ok(file !== undefined && isAccepted(file) && !isCompiled(file));
  });
}

for (const [what, file] of valid) {
  test(`the schema and the compiler accept a policy with ${what}`, () => {
    assert.ok(isCompiled(file));
    assert.ok(isAccepted(file));
  });
}

const examples = new URL('examples/policies/', deploy);
for (const name of readdirSync(examples)) {
  const file = readFileSync(new URL(name, examples), 'utf8');

  test(`the schema and the compiler accept the example ${name}`, () => {
    assert.ok(isCompiled(file));
    assert.ok(isAccepted(file));
  });

  test(`the example ${name} names its schema for editors`, () => {
    const [, path = ''] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(file) ?? [];
    assert.equal(readFileSync(new URL(path, examples), 'utf8'), text);
  });
}

/** The fields of a part of the schema that say nothing of themselves. */
function undescribed({ properties = {} }: Schema): string[] {
  return Object.entries(properties).flatMap(([name, field]) => {
    const target = schema.$defs?.[field.$ref?.replace('#/$defs/', '') ?? ''];
    const isDescribed = field.description !== undefined || target?.description !== undefined;
    return [...(isDescribed ? [] : [name]), ...undescribed(field)];
  });
}

test('every field is described', () => {
  assert.deepEqual([schema, ...Object.values(schema.$defs ?? {})].flatMap(undescribed), []);
});
