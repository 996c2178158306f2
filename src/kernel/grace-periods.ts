/**
 * A freeze waits three times until no processor can still be in what it closes: RCU's grace periods, 5 to 20 ms each, and
 * writers wait with it. The kernel has quick ones, for which it interrupts the other processors instead of waiting for
 * them; `/sys/kernel/rcu_expedited` asks for these everywhere. So this is for moments, and who asked for it sees to it
 * that it ends, also after a kill. Where the kernel was told to do without (`rcu_normal`, as real-time kernels are), it
 * has no effect; where it cannot be set, a freeze takes longer. Source: kernel documentation, "A Tour Through RCU's
 * Requirements", and `kernel/rcu/sync.c`.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const setting = '/sys/kernel/rcu_expedited';

/** Whether grace periods are quick for other reasons than ours; true also where nothing can be asked for. */
export function areExpedited(): boolean {
  try {
    return readFileSync(setting, 'latin1').trim() !== '0';
  } catch {
    return true;
  }
}

/** @returns whether it was asked for now, and is to be ended by `endExpedited` */
export function beginExpedited(): boolean {
  return !areExpedited() && write('1');
}

export function endExpedited(): void {
  write('0');
}

function write(value: string): boolean {
  try {
    writeFileSync(setting, value);
    return true;
  } catch {
    return false; // Read-only in most containers.
  }
}
