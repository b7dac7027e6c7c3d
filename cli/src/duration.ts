const units: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `30m`, `1h`, `7d` in milliseconds; `null` for anything else. */
export function parseDuration(text: string): number | null {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  return amount === undefined ? null : Number(amount) * (units[unit ?? ''] ?? 0);
}

/** Milliseconds in the largest unit that fits, rounded down: `0s`, `59s`, `30m`, `1h`, `7d`. */
export function roughly(ms: number): string {
  const fitting = Object.entries(units).filter(([, each]) => each <= ms);
  const [unit, each] = fitting.at(-1) ?? ['s', 1_000];
  return `${Math.max(0, Math.floor(ms / each))}${unit}`;
}
