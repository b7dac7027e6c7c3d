import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anyOf, resourceMatcher } from './match.ts';

/** What it shows, entry, group, resource, subresource, whether it matches. */
const resources = [
  ['a bare name is of the core group', 'pods', '', 'pods', '', true],
  ['a bare name is of no other group', 'pods', 'metrics.k8s.io', 'pods', '', false],
  ['a bare name is another resource than its neighbour', 'pods', '', 'podtemplates', '', false],
  ['a bare name takes in no subresource', 'pods', '', 'pods', 'log', false],
  ['a group stands after the first dot', 'deployments.apps', 'apps', 'deployments', '', true],
  ['a group with dots of its own', 'ingresses.networking.k8s.io', 'networking.k8s.io', 'ingresses', '', true],
  ['a name with a group is not of the core group', 'deployments.apps', '', 'deployments', '', false],
  ['a name with a group takes in no subresource', 'deployments.apps', 'apps', 'deployments', 'scale', false],
  ['a subresource stands after the slash', 'pods/log', '', 'pods', 'log', true],
  ['a subresource does not take in the resource', 'pods/log', '', 'pods', '', false],
  ['a subresource does not take in its siblings', 'pods/log', '', 'pods', 'exec', false],
  ['a subresource of a group', 'deployments.apps/scale', 'apps', 'deployments', 'scale', true],
  ['a subresource of a group is not of another group', 'deployments.apps/scale', '', 'deployments', 'scale', false],
  ['* is every resource of the core group', '*', '', 'secrets', '', true],
  ['* is every resource of a group', '*', 'apps', 'deployments', '', true],
  ['* is never a subresource', '*', '', 'pods', 'exec', false],
  ['*.apps is every resource of the group', '*.apps', 'apps', 'replicasets', '', true],
  ['*.apps is nothing of the core group', '*.apps', '', 'pods', '', false],
  ['*.apps is nothing of a group that ends alike', '*.apps', 'more.apps', 'things', '', false],
  ['*.apps is never a subresource', '*.apps', 'apps', 'deployments', 'scale', false],
  ['pods/* is every subresource of pods', 'pods/*', '', 'pods', 'exec', true],
  ['pods/* is not pods', 'pods/*', '', 'pods', '', false],
  ['pods/* is no subresource of another resource', 'pods/*', '', 'services', 'proxy', false],
  ['pods/* is no subresource of pods in another group', 'pods/*', 'metrics.k8s.io', 'pods', 'log', false],
  ['deployments.apps/* is every subresource there', 'deployments.apps/*', 'apps', 'deployments', 'status', true],
  ['*.apps/scale is that subresource all over the group', '*.apps/scale', 'apps', 'statefulsets', 'scale', true],
  ['*.apps/scale is not the subresource elsewhere', '*.apps/scale', '', 'replicationcontrollers', 'scale', false],
  ['*/scale is that subresource of every group', '*/scale', 'apps', 'deployments', 'scale', true],
  ['*/* is every subresource of the core group', '*/*', '', 'nodes', 'proxy', true],
  ['*/* is every subresource of a group', '*/*', 'apps', 'deployments', 'scale', true],
  ['*/* is not a resource', '*/*', '', 'pods', '', false],
] as const;

for (const [what, entry, apiGroup, resource, subresource, matches] of resources) {
  test(`resources: ${what}`, () => {
    assert.equal(resourceMatcher([entry]).matches(apiGroup, resource, subresource), matches);
  });
}

test('resources: one entry of several is enough', () => {
  const matcher = resourceMatcher(['pods', 'deployments.apps']);
  assert.ok(matcher.matches('apps', 'deployments', ''));
  assert.ok(!matcher.matches('', 'services', ''));
});

/** What it shows, glob, text, whether it matches. */
const globs = [
  ['text without a star is meant exactly', 'shop', 'shop', true],
  ['text without a star is not a prefix', 'shop', 'shop-1', false],
  ['a star at the end', 'shop-*', 'shop-prod', true],
  ['a star stands for nothing, too', 'shop-*', 'shop-', true],
  ['a star at the end leaves the beginning fixed', 'shop-*', 'workshop-1', false],
  ['a star at the beginning', '*-prod', 'shop-prod', true],
  ['a star at the beginning leaves the end fixed', '*-prod', 'shop-prod-1', false],
  ['a star in the middle', 'a*z', 'a-to-z', true],
  ['two stars', '*shop*', 'my-shop-1', true],
  ['a star crosses slashes', '/apis/*', '/apis/apps/v1', true],
  ['a star crosses line ends', 'a*z', 'a\nz', true],
  ['beginning and end may not share a character', 'ab*ba', 'aba', false],
  ['parts in order', '*a*b*', 'xaxbx', true],
  ['parts out of order', '*a*b*', 'xbxax', false],
  ['the last part is not used twice', '*ab*b', 'ab', false],
  ['a long text and many stars end at once', '*-*-*-*-x', '-'.repeat(16_000), false],
  ['a dot is a dot', 'a.c*', 'abc', false],
  ['a question mark is a question mark', 'a?*', 'ab', false],
  ['brackets are brackets', '[ab]*', 'a', false],
  ['case counts', 'Shop*', 'shop', false],
] as const;

for (const [what, glob, text, matches] of globs) {
  test(`globs: ${what}`, () => assert.equal(anyOf([glob]).matches(text), matches));
}

test('globs: only a lone star is everything', () => {
  assert.ok(anyOf(['shop', '*']).everything);
  assert.ok(!anyOf(['shop-*']).everything);
  assert.ok(!anyOf([]).everything);
  assert.ok(!anyOf([]).matches(''));
});
