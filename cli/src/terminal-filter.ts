/** A control sequence over this length is none that a program would mean. Characters. */
const maxSequence = 64;

/** Finals of control sequences that move, erase, insert, scroll, and choose how text looks. */
const drawing = /^([\d;:]*[@A-MPSXZ`abdefmrsu]|\d*T)$/;
/** Erasure of what is not protected. */
const erasing = /^\?[012]?[JK]$/;
/** Shape of the cursor; soft reset. */
const others = /^([0-6]? q|!p)$/;
/** Inserting, or not. */
const inserting = /^4[hl]$/;
/** Private modes that change what is seen: reverse video, origin, wrap, blink, cursor, screens, all at once. */
const seen: ReadonlySet<string> = new Set(['5', '6', '7', '12', '25', '47', '1047', '1048', '1049', '2026']);
const screens: ReadonlySet<string> = new Set(['47', '1047', '1049']);
/** Bell, backspace, tab, line feeds, carriage return, character sets. */
const controls: ReadonlySet<string> = new Set('\u0007\b\t\n\u000b\f\r\u000e\u000f');

/**
 * Lets through of a terminal's output what draws, and nothing that does something else to the terminal it is shown on:
 * titles, clipboard, hyperlinks, notifications; what makes it type an answer (identity, cursor position, settings, the
 * mouse, focus); what changes what its keys send. A sequence may be cut anywhere: its beginning is held until its end.
 */
export class TerminalFilter {
  /** `text`; `escape`: behind ESC; `control`: in a control sequence; `string`: in one that is dropped, up to its end. */
  #state: 'text' | 'escape' | 'control' | 'string' = 'text';
  #held = '';
  #isAlternate = false;

  /** What of the text may be written. */
  pass(text: string): string {
    let out = '';
    for (const character of text) out += this.#character(character);
    return out;
  }

  /** What brings a terminal back to itself, whatever was let through. */
  reset(): string {
    const screen = this.#isAlternate ? '\u001b[?1049l' : '';
    this.#isAlternate = false;
    this.#to('text');
    const modes = ['1000', '1002', '1003', '1004', '1006', '2004', '5', '1'].map((mode) => `\u001b[?${mode}l`).join('');
    return `${screen}\u001b[!p${modes}\u001b[?7h\u001b[?25h\u001b>\u001b(B\u000f\u001b[0m`;
  }

  #character(character: string): string {
    const code = character.codePointAt(0) ?? 0;
    // Eight-bit controls are the same as ESC and a letter. Cancel and substitute end whatever there is.
    if (code >= 0x80 && code <= 0x9f) {
      if (this.#state !== 'string' || code === 0x9c) this.#to('escape');
      return this.#character(String.fromCharCode(code - 0x40));
    }
    if (character === '\u0018' || character === '\u001a') return this.#to('text');
    if (this.#state === 'string') return this.#inString(character);
    if (character === '\u001b') return this.#to('escape');
    if (code < 0x20) return controls.has(character) ? character : '';
    if (code === 0x7f) return '';
    if (this.#state === 'text') return character;
    return this.#state === 'escape' ? this.#inEscape(character) : this.#inControl(character);
  }

  #to(state: 'text' | 'escape' | 'control' | 'string'): '' {
    this.#state = state;
    this.#held = '';
    return '';
  }

  /** It ends with ST, or BEL; another ESC begins something new, as terminals have it. */
  #inString(character: string): '' {
    if (character === '\u0007') return this.#to('text');
    return character === '\u001b' ? this.#to('escape') : '';
  }

  #inEscape(character: string): string {
    this.#held += character;
    const held = this.#held;
    if (held === '[') return this.#to('control');
    if (/^[\]PX^_]$/.test(held)) return this.#to('string');
    // Intermediates: character sets, of which those for text and lines are known.
    if (/^[ -/]+$/.test(held) && held.length < maxSequence) return '';
    this.#to('text');
    return /^([78DEMH]|[()][0AB])$/.test(held) ? `\u001b${held}` : '';
  }

  #inControl(character: string): string {
    this.#held += character;
    if (!/[@-~]/.test(character)) return this.#held.length > maxSequence ? this.#to('text') : '';
    const sequence = this.#held;
    this.#to('text');
    const modes = /^\?([\d;]+)([hl])$/.exec(sequence);
    if (modes !== null) return this.#modes(modes[1] ?? '', modes[2] ?? '');
    const isLet = [drawing, erasing, others, inserting].some((form) => form.test(sequence));
    return isLet ? `\u001b[${sequence}` : '';
  }

  #modes(list: string, final: string): string {
    const kept = list.split(';').filter((mode) => seen.has(mode));
    if (kept.some((mode) => screens.has(mode))) this.#isAlternate = final === 'h';
    return kept.length === 0 ? '' : `\u001b[?${kept.join(';')}${final}`;
  }
}
