// What commands are made of, to those who read them. Types only.

/** An argument once its quotes are gone. `null`: only running would tell; it stands for any number of any arguments. */
export type Argument = string | null;

/** A command's name and its arguments. */
export type Words = readonly Argument[];

/** Which grammar a script has. What means something else in the other shells that are called `sh` is opaque in `posix`. */
export type Dialect = 'bash' | 'posix';

export interface Script {
  readonly source: string;
  readonly dialect: Dialect;
}
