import type { LedgerRow } from '@sluice/model';

/** One line is drawn over and over; not more often than this. */
const drawMs = 200;

/** Shows how far the reading is, where somebody watches. */
export class Progress {
  readonly #rows: number;
  readonly #terminal: NodeJS.WriteStream;
  readonly #startMs = performance.now();
  #drawnMs = 0;
  #read = 0;
  #bytes = 0;

  constructor(ledgers: readonly LedgerRow[], terminal: NodeJS.WriteStream) {
    this.#rows = ledgers.reduce((sum, { rows }) => sum + rows, 0);
    this.#terminal = terminal;
  }

  row(bytes: number): void {
    this.#read++;
    this.#bytes += bytes;
    const now = performance.now();
    if (!this.#terminal.isTTY || now - this.#drawnMs < drawMs) return;
    this.#drawnMs = now;
    const megabytesPerSecond = this.#bytes / 1000 / Math.max(1, now - this.#startMs);
    this.#terminal.write(`\r${progressLine(this.#read, this.#rows, megabytesPerSecond)}\u001b[K`);
  }

  end(): void {
    if (this.#terminal.isTTY) this.#terminal.write('\r\u001b[K');
  }
}

const barWidth = 24;

/** Exported for its test. */
export function progressLine(read: number, rows: number, megabytesPerSecond: number): string {
  // Frames may come in while they are counted.
  const share = rows === 0 ? 1 : Math.min(1, read / rows);
  const full = Math.floor(share * barWidth);
  const bar = '█'.repeat(full) + '░'.repeat(barWidth - full);
  const percent = `${Math.floor(share * 100)} %`.padStart(5);
  return `${bar} ${percent}  ${read.toLocaleString('en')} of ${rows.toLocaleString('en')} frames  ${megabytesPerSecond.toFixed(1)} MB/s`;
}
