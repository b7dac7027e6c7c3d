// A program in the foreground: it has our terminal, hears once that it shall end, and never outlives us.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';

const parentPollMs = 500;
/** As it was when we were started: a parent that goes leaves us to another. */
const parent = process.ppid;

/**
 * Runs a program to its end.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<number>} its exit code; 128 and more if a signal ended it
 */
export function runChild(command, args, env) {
  return new Promise((resolve, reject) => {
    // Detached: Ctrl-C goes to every process of a terminal's group, and it shall hear of it through us, once.
    const child = spawn(command, args, { stdio: 'inherit', env, detached: true });
    let isTold = false;
    const tell = (signal) => {
      if (!isTold) child.kill(signal);
      isTold = true;
    };
    process.on('SIGINT', tell);
    process.on('SIGTERM', tell);
    // npm may die without passing a signal on.
    const watch = setInterval(() => process.ppid !== parent && tell('SIGTERM'), parentPollMs);
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      clearInterval(watch);
      resolve(code ?? 128 + constants.signals[signal]);
    });
  });
}
