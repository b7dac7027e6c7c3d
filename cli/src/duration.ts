const units = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `90s`, `30m`, `1h`, `7d` in milliseconds; `null` for anything else. */
export function parseDuration(text: string): number | null {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  return amount === undefined ? null : Number(amount) * units[unit as keyof typeof units];
}

/** Milliseconds of whole seconds as policies write them, in the largest unit that fits: `90s`, `30m`, `12h`; `0s`. */
export function durationText(ms: number): string {
  const unit = (['h', 'm'] as const).find((one) => ms > 0 && ms % units[one] === 0) ?? 's';
  return `${ms / units[unit]}${unit}`;
}

/** Milliseconds in the largest unit that fits, rounded down: `0s`, `59s`, `30m`, `1h`, `7d`. */
export function roughly(ms: number): string {
  const fitting = Object.entries(units).filter(([, each]) => each <= ms);
  const [unit, each] = fitting.at(-1) ?? ['s', 1_000];
  return `${Math.max(0, Math.floor(ms / each))}${unit}`;
}
