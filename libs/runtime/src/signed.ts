import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';

const macBytes = 32;

/** 32-byte HMAC-SHA256 ‖ value as JSON. The HMAC is over the JSON's bytes. */
export function signJson(key: KeyObject, value: object): Buffer {
  const json = Buffer.from(JSON.stringify(value));
  return Buffer.concat([mac(key, json), json]);
}

/** The value in what `signJson` made with the same key, or `null`. */
export function openSigned(key: KeyObject, message: Uint8Array): unknown {
  if (message.byteLength <= macBytes) return null;
  const json = message.subarray(macBytes);
  if (!timingSafeEqual(message.subarray(0, macBytes), mac(key, json))) return null;
  return JSON.parse(Buffer.from(json.buffer, json.byteOffset, json.byteLength).toString());
}

function mac(key: KeyObject, json: Uint8Array): Buffer {
  return createHmac('sha256', key).update(json).digest();
}
