import { createHash } from 'node:crypto';
import { has, input, type Job, lines, maxTextBytes, operands, put, say, sizeOf } from './job.ts';

export async function base64(job: Job): Promise<number> {
  let rest = Buffer.alloc(0);
  if (has(job, 'd')) {
    for await (const chunk of input(job, operands(job))) {
      const text = rest.toString('latin1') + chunk.toString('latin1').replace(/\s/g, '');
      await put(job, Buffer.from(text.slice(0, text.length - (text.length % 4)), 'base64'));
      rest = Buffer.from(text.slice(text.length - (text.length % 4)), 'latin1');
    }
    await put(job, Buffer.from(rest.toString('latin1'), 'base64'));
    return 0;
  }
  // 57 bytes are a line of 76 characters.
  const lineOf = (bytes: Buffer): string => `${bytes.toString('base64')}\n`;
  for await (const chunk of input(job, operands(job))) {
    rest = Buffer.concat([rest, chunk]);
    const whole = rest.length - (rest.length % 57);
    let text = '';
    for (let at = 0; at < whole; at += 57) text += lineOf(rest.subarray(at, at + 57));
    await put(job, text);
    rest = rest.subarray(whole);
  }
  return rest.length === 0 ? 0 : say(job, lineOf(rest));
}

export async function grep(job: Job): Promise<number> {
  const [pattern = '', ...paths] = operands(job);
  const flags = has(job, 'i') ? 'i' : '';
  // Patterns are plain text here: one of a caller's own could run for ever.
  const wanted = new RegExp(pattern.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'), flags);
  let found = 0;
  for await (const line of lines(input(job, paths))) {
    if (wanted.test(Buffer.from(line, 'latin1').toString()) === has(job, 'v')) continue;
    found++;
    if (!has(job, 'q') && !has(job, 'c')) await put(job, Buffer.from(line, 'latin1'));
  }
  if (has(job, 'c')) await put(job, `${found}\n`);
  return found === 0 ? 1 : 0;
}

/** `-n N`, `-nN`, `-N`, and `-c` likewise, with what is left. */
function counted({ args }: Job): { unit: string; count: string; paths: string[] } {
  const [first = '', second = '', ...rest] = args;
  const [, unit = '', count = ''] = /^-([nc]?)(\+?\d*[kMG]?)$/.exec(first) ?? [];
  if (unit === '' && count === '') return { unit: 'n', count: '10', paths: [...args] };
  return count === '' ? { unit, count: second, paths: rest } : { unit: unit || 'n', count, paths: args.slice(1) };
}

export async function head(job: Job): Promise<number> {
  const { unit, count, paths } = counted(job);
  let left = sizeOf(count);
  if (left === 0) return 0;
  if (unit === 'n') {
    for await (const line of lines(input(job, paths))) {
      await put(job, Buffer.from(line, 'latin1'));
      if (--left === 0) break;
    }
    return 0;
  }
  for await (const chunk of input(job, paths)) {
    await put(job, chunk.subarray(0, left));
    left -= Math.min(left, chunk.length);
    if (left === 0) break;
  }
  return 0;
}

export async function tail(job: Job): Promise<number> {
  const { unit, count, paths } = counted(job);
  if (count.startsWith('+')) {
    let skip = sizeOf(count.slice(1)) - 1;
    const pieces = unit === 'c' ? input(job, paths) : lines(input(job, paths));
    for await (const piece of pieces) {
      const bytes = typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece;
      const skipped = unit === 'c' ? Math.min(skip, bytes.length) : skip > 0 ? bytes.length : 0;
      skip -= unit === 'c' ? skipped : Math.min(skip, 1);
      await put(job, bytes.subarray(skipped));
    }
    return 0;
  }
  const size = Math.min(sizeOf(count), maxTextBytes);
  let kept: string[] = [];
  for await (const piece of unit === 'c' ? input(job, paths) : lines(input(job, paths))) {
    kept.push(typeof piece === 'string' ? piece : piece.toString('latin1'));
    if (unit === 'c') kept = [kept.join('').slice(-size)];
    else if (kept.length > size) kept.shift();
  }
  await put(job, Buffer.from(kept.join(''), 'latin1'));
  return 0;
}

export async function od(job: Job): Promise<number> {
  let offset = 0;
  let rest = Buffer.alloc(0);
  const line = async (bytes: Buffer): Promise<void> => {
    const hex = [...bytes].map((byte) => ` ${byte.toString(16).padStart(2, '0')}`).join('');
    await put(job, `${offset.toString(8).padStart(7, '0')}${hex}\n`);
    offset += bytes.length;
  };
  for await (const chunk of input(job, [])) {
    rest = Buffer.concat([rest, chunk]);
    for (; rest.length >= 16; rest = rest.subarray(16)) await line(rest.subarray(0, 16));
  }
  if (rest.length > 0) await line(rest);
  return say(job, `${offset.toString(8).padStart(7, '0')}\n`);
}

export function formatted([format = '', ...values]: readonly string[]): string {
  const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '\\': '\\', e: '\u001b' };
  const unescaped = format.replace(
    /\\(?:x([0-9a-f]{1,2})|([0-7]{1,3})|(.))/gi,
    (all, hex?: string, octal?: string, letter?: string) =>
      letter === undefined
        ? String.fromCharCode(hex === undefined ? Number.parseInt(octal ?? '0', 8) : Number.parseInt(hex, 16))
        : (escapes[letter] ?? all),
  );
  const rest = [...values];
  const once = (): string =>
    unescaped.replace(/%(%|[sd])/g, (_, what: string) =>
      what === '%' ? '%' : (rest.shift() ?? (what === 'd' ? '0' : '')),
    );
  let text = once();
  while (rest.length > 0 && rest.length < values.length) {
    const before = rest.length;
    text += once();
    if (rest.length === before) break;
  }
  return text;
}

export async function seq(job: Job): Promise<number> {
  const numbers = job.args.map(Number);
  const [first = 1, last = 0] = numbers.length > 1 ? [numbers[0], numbers.at(-1)] : [1, numbers[0]];
  const step = numbers.length > 2 ? (numbers[1] ?? 1) : 1;
  let text = '';
  for (let number = first; step > 0 ? number <= last : number >= last; number += step) {
    text += `${number}\n`;
    if (text.length < 16_384) continue;
    await put(job, text);
    text = '';
  }
  return say(job, text);
}

export async function sha256sum(job: Job): Promise<number> {
  const paths = operands(job);
  for (const path of paths.length === 0 ? ['-'] : paths) {
    const hash = createHash('sha256');
    for await (const chunk of input(job, [path])) hash.update(chunk);
    await put(job, `${hash.digest('hex')}  ${path}\n`);
  }
  return 0;
}

export async function wc(job: Job): Promise<number> {
  let [lineCount, words, bytes] = [0, 0, 0];
  let isInWord = false;
  for await (const chunk of input(job, operands(job))) {
    bytes += chunk.length;
    for (const byte of chunk) {
      if (byte === 0x0a) lineCount++;
      const isBlank = byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
      if (!isBlank && !isInWord) words++;
      isInWord = !isBlank;
    }
  }
  const counts = { l: lineCount, w: words, c: bytes };
  const asked = Object.entries(counts).filter(([letter]) => has(job, letter));
  return say(job, `${(asked.length === 0 ? Object.entries(counts) : asked).map(([, count]) => count).join(' ')}\n`);
}

export async function yes(job: Job): Promise<number> {
  const line = `${job.args.join(' ') || 'y'}\n`;
  const block = Buffer.from(line.repeat(Math.ceil(16_384 / line.length)));
  for (;;) await put(job, block);
}
