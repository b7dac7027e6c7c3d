import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTarget } from '@sluice/kube';
import { writtenTexts } from './written.ts';

const kubectl = 'kubectl/v1.32.4 (linux/amd64) kubernetes/59526cd';

const plain = [
  '/api/v1/pods',
  '/api/v1/pods?limit=500&resourceVersion=0',
  '/api/v1/pods?watch=true&allowWatchBookmarks=true&timeoutSeconds=300',
  '/api/v1/pods?labelSelector=app%21%3Dweb%2Ctier+in+%28a%2Cb%29&fieldSelector=metadata.name%3Dweb-5d4f8c7b9-x2x7k',
  '/api/v1/namespaces/a/pods/b/log?follow=true&container=main&sinceTime=2026-01-01T00%3A00%3A00Z',
];
for (const target of plain) {
  test(`${target} needs no look`, () => assert.equal(writtenTexts(parseTarget(target), kubectl), null));
}

const suspicious: readonly (readonly [target: string, userAgent: string, text: string])[] = [
  ['/api/v1/pods?labelSelector=token%3Db', kubectl, `labelSelector=token=b\n${kubectl}`],
  ['/api/v1/pods?fieldManager=ghp_0123456789abcdef', kubectl, `fieldManager=ghp_0123456789abcdef\n${kubectl}`],
  ['/api/v1/pods?anything=a', kubectl, `anything=a\n${kubectl}`],
  ['/api/v1/pods?container=token-x', kubectl, `container=token-x\n${kubectl}`],
  ['/api/v1/pods', 'curl password=x', 'curl password=x'],
  ['/a?command=login&command=--token&command=x&stdout=true', '', 'login\n--token\nx\n'],
];
for (const [target, userAgent, text] of suspicious) {
  test(`${target} by "${userAgent}" is looked at`, () => {
    assert.equal(writtenTexts(parseTarget(target), userAgent)?.text, text);
  });
}

test('what is masked goes back to its place', () => {
  const target = parseTarget('/a?command=login&stdout=true&command=--password%3Dx&labelSelector=token%3Db');
  const written = writtenTexts(target, 'me');
  assert.deepEqual(written?.read('login\n--password=MASK\nlabelSelector=token=b\nme'), {
    canonical: '/a?command=login&stdout=true&command=--password%3DMASK&labelSelector=token%3Db',
    userAgent: 'me',
  });
});

test('what does not come back line by line is left out', () => {
  const written = writtenTexts(parseTarget('/a?command=x'), 'me');
  assert.deepEqual(written?.read('everything'), { canonical: '/a', userAgent: '' });
});

test('an argument of several lines stays as it is where nothing is masked', () => {
  const target = parseTarget('/a?command=sh&command=-c&command=ls%0Arm%20x');
  const written = writtenTexts(target, '');
  assert.equal(written?.text, 'sh\n-c\nls rm x\n');
  assert.equal(written?.read('sh\n-c\nls rm x\n').canonical, target.canonical);
});
