import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { RequestAttributes } from '@sluice/model';
import { requestAttributes } from './request-info.ts';
import { parseTarget, TargetError } from './target.ts';

/** Targets, what Sluice is to make of each group, and what a real API server's audit log said of each. */
interface VectorFile {
  readonly groups: readonly {
    readonly about: string;
    readonly sluice: 'accepts' | 'refuses';
    readonly vectors: readonly Vector[];
  }[];
}

interface Vector {
  readonly method: string;
  readonly target: string;
  readonly verb?: string;
  /** Of a request about a resource. */
  readonly objectRef?: Readonly<
    Partial<Record<'apiGroup' | 'apiVersion' | 'resource' | 'subresource' | 'namespace' | 'name', string>>
  >;
  /** Of any other. */
  readonly path?: string;
}

const { groups } = JSON.parse(readFileSync(new URL('attribute-vectors.json', import.meta.url), 'utf8')) as VectorFile;

for (const { about, sluice, vectors } of groups) {
  test(`Sluice ${sluice}, as the server reads it: ${about}`, () => {
    for (const vector of vectors) {
      const expected = sluice === 'accepts' ? serverReading(vector) : 'refused';
      assert.deepEqual(reading(vector), expected, `${vector.method} ${vector.target}`);
    }
  });
}

test('the vectors are many, and most of them are to be accepted', () => {
  const count = (sluice: string): number =>
    groups.filter((group) => group.sluice === sluice).reduce((total, { vectors }) => total + vectors.length, 0);
  assert.ok(count('accepts') >= 580 && count('refuses') >= 290, `${count('accepts')} and ${count('refuses')}`);
});

function reading({ method, target }: Vector): RequestAttributes | 'refused' {
  try {
    return requestAttributes(method, parseTarget(target)) ?? 'refused';
  } catch (error) {
    assert.ok(error instanceof TargetError, `${method} ${target}: ${String(error)}`);
    return 'refused';
  }
}

/** The log leaves out what is empty. */
function serverReading({ verb = '', objectRef, path = '' }: Vector): RequestAttributes {
  if (objectRef === undefined) return { kind: 'nonResource', verb, path };
  const { apiGroup = '', apiVersion = '', resource = '', subresource = '', namespace = '', name = '' } = objectRef;
  return { kind: 'resource', verb, apiGroup, version: apiVersion, resource, subresource, namespace, name };
}
