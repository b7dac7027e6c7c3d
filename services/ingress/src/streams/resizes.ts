/** What a peer says of sizes adds up to no more before it is one. Bytes. */
const maxBytes = 1024;
/** Go reads the names in any case and in either order. */
const size = /^\s*\{\s*"(width|height)"\s*:\s*(\d{1,5})\s*,\s*"(width|height)"\s*:\s*(\d{1,5})\s*\}\s*/i;

/**
 * Reads the sizes of a terminal as they come, in pieces or several at once, and writes them anew: what is said on this channel
 * is not masked, so nothing but numbers gets through.
 */
export class Resizes {
  #text = '';

  /** The sizes that are whole now, each on a line, as `remotecommand.TerminalSize` has it; `null` for what is no size. */
  push(bytes: Buffer): Buffer | null {
    this.#text += bytes.toString('latin1');
    let sizes = '';
    for (let found = size.exec(this.#text); found !== null; found = size.exec(this.#text)) {
      const [all, one = '', first, other = '', second] = found;
      if (one.toLowerCase() === other.toLowerCase()) return null;
      const [width, height] = one.toLowerCase() === 'width' ? [first, second] : [second, first];
      sizes += `{"Width":${Number(width)},"Height":${Number(height)}}\n`;
      this.#text = this.#text.slice(all.length);
    }
    const isBeginning =
      this.#text.trimStart() === '' || (this.#text.trimStart().startsWith('{') && !this.#text.includes('}'));
    return isBeginning && this.#text.length <= maxBytes ? Buffer.from(sizes) : null;
  }
}
