import { DrayError } from '../../std/dray-error.ts';

/**
 * - `usage`: the command line does not say what is needed, or says two things that exclude each other.
 * - `name-ambiguous`: a word that may be a file as well as a volume of the pool.
 * - `password-missing`: no source of a password, or an empty one. `password-source`: the file or command named did not give one.
 * - `password-spaces`: a new password that kopia could not be told. `snapshot-pinned`: it is not to be deleted.
 * - `need-missing`: nothing in the pool is kept for that repository; `need-ambiguous`: it may be for one of several. `revert-unsaved`: a revert would lose what no snapshot holds.
 * - `tour-failed`: a step of the tour ended otherwise than the tour says.
 */
export class CliError extends DrayError<
  | 'usage'
  | 'name-ambiguous'
  | 'password-missing'
  | 'password-source'
  | 'password-spaces'
  | 'snapshot-pinned'
  | 'need-missing'
  | 'need-ambiguous'
  | 'revert-unsaved'
  | 'tour-failed'
> {}

/** The reason of the root signal once the user or the system asked the program to end. */
export class Interrupted extends DrayError<'interrupted'> {
  constructor(signalName: string) {
    super('interrupted', `interrupted (${signalName})`);
  }
}
