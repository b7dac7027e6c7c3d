import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endFor, execRefusal, exitCodeOf } from './exec-status.ts';

const v4 = { hasStatus: true };
const v3 = { hasStatus: false };
// As a kubelet sends it.
const failed = Buffer.from(
  '{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: exit status 7","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}',
);
const succeeded = Buffer.from('{"metadata":{},"status":"Success"}');

test('the exit code of a command stands in its status', () => {
  assert.equal(exitCodeOf(succeeded), 0);
  assert.equal(exitCodeOf(failed), 7);
  assert.equal(
    exitCodeOf(Buffer.from('{"status":"Failure","reason":"InternalError","message":"no such container"}')),
    null,
  );
  for (const text of ['', 'null', '7', '{"status":"Failure","reason":"NonZeroExitCode"}']) {
    assert.equal(exitCodeOf(Buffer.from(text)), null, text);
  }
});

test('an end is said as the protocol of the other side says it', () => {
  assert.equal(endFor(failed, v4, v4), failed);
  assert.equal(endFor(failed, v4, v3).toString(), 'command terminated with non-zero exit code: exit status 7');
  assert.equal(endFor(succeeded, v4, v3).length, 0);
  assert.deepEqual(JSON.parse(endFor(Buffer.from('exit status 7'), v3, v4).toString()), {
    metadata: {},
    status: 'Failure',
    reason: 'InternalError',
    message: 'exit status 7',
  });
  assert.deepEqual(JSON.parse(endFor(Buffer.alloc(0), v3, v4).toString()), { metadata: {}, status: 'Success' });
});

test('a refusal has the exit code of what may not be run, and all that a program can act on', () => {
  const status = execRefusal({ reasonCode: 'DeniedByRule', message: 'not here', hint: 'ls is allowed', rule: 'r' });
  assert.equal(exitCodeOf(status), 126);
  const { details, message } = JSON.parse(status.toString()) as {
    details: { causes: { reason: string; message: string }[] };
    message: string;
  };
  assert.equal(message, 'not here');
  const causes = new Map(details.causes.map((cause) => [cause.reason, cause.message]));
  assert.equal(causes.get('SluiceReasonCode'), 'DeniedByRule');
  assert.equal(causes.get('SluiceHint'), 'ls is allowed');
});
