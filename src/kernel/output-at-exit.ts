/**
 * The library behind foreign calls (koffi) flushes standard output and standard error to their disks when the process ends.
 * Where the system refuses that, as a full share on the network does, it tells so under a lock that it holds already, and the
 * process never ends. What was written is with the system by then, as it is of any other program: so files are taken from
 * it before.
 */
import assert from 'node:assert/strict';
import { closeSync, fstatSync, openSync } from 'node:fs';

/** For the `exit` event of the main thread: nothing that is written to a file afterwards arrives. */
export function letGoOfOutputFiles(): void {
  for (const fd of [1, 2]) {
    try {
      if (!fstatSync(fd).isFile()) continue;
      const other = openSync('/dev/null', 'w');
      closeSync(fd);
      // The lowest number that is free, and 0 never is.
      assert.equal(openSync('/dev/null', 'w'), fd);
      closeSync(other);
    } catch {
      // It stays as it is: a folder in which there is no /dev/null.
    }
  }
}
