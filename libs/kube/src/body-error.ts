/** Code `BodyNotReadable`: a request body is not what its Content-Type says, or can be read in more than one way. */
export class BodyError extends Error {
  readonly code = 'BodyNotReadable';
}
