/** A message of two parts. Length of the JSON (4 bytes, big-endian) ‖ head as JSON ‖ body. */
export function encodeWithBody(head: object, body: Uint8Array): Buffer {
  const json = Buffer.from(JSON.stringify(head));
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json, body]);
}

export interface WithBody<Head> {
  readonly head: Head;
  readonly body: Buffer;
}

/** The body is a view. Throws when the message is not one. */
export function decodeWithBody<Head>(message: Uint8Array): WithBody<Head> {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  const start = 4 + bytes.readUInt32BE(0);
  return { head: JSON.parse(bytes.toString('utf8', 4, start)) as Head, body: bytes.subarray(start) };
}
