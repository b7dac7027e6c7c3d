import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Stored } from './objects.ts';
import { fieldSelector, labelSelector } from './selectors.ts';

const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', uid: '', resourceVersion: '1', creationTimestamp: '', labels: { app: 'web', tier: '' } },
  status: { phase: 'Running' },
} satisfies Stored;

const labels: Readonly<Record<string, boolean>> = {
  '': true,
  'app=web': true,
  'app==web,tier=': true,
  'app=api': false,
  'app!=api': true,
  'other!=api': true,
  app: true,
  '!app': false,
  '!other': true,
  'app in (api, web)': true,
  'app in (api,db),tier': false,
  'app notin (api,db),tier': true,
  'other notin (api)': true,
  'example.com/app=web': false,
};

for (const [selector, chosen] of Object.entries(labels)) {
  test(`the label selector "${selector}" ${chosen ? 'chooses' : 'leaves out'} app=web,tier=`, () => {
    assert.equal(labelSelector(selector)(pod), chosen);
  });
}

const fields: Readonly<Record<string, boolean>> = {
  '': true,
  'metadata.name=web': true,
  'metadata.name!=web': false,
  'status.phase=Running,metadata.name==web': true,
  'status.phase=Pending': false,
  'spec.nodeName=': true,
};

for (const [selector, chosen] of Object.entries(fields)) {
  test(`the field selector "${selector}" ${chosen ? 'chooses' : 'leaves out'} the running pod`, () => {
    assert.equal(fieldSelector(selector)(pod), chosen);
  });
}

test('a selector that cannot be read is an error, not a list of everything', () => {
  assert.throws(() => labelSelector('app ~ web'), { code: 400 });
  assert.throws(() => labelSelector('app in web,other)'), { code: 400 });
  assert.throws(() => fieldSelector('metadata.name'), { code: 400 });
});
