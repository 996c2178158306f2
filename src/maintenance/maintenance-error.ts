import { DrayError } from '../std/dray-error.ts';

/**
 * - `maintenance-owner`: another client owns the maintenance of the repository, or nobody does.
 * - `maintenance-clock`: the store's clock and ours are too far apart to tell what is old.
 * - `maintenance-running`: another process of this machine is maintaining the repository.
 * - `maintenance-late`: so much time went by between deciding and writing that the decision no longer holds. What was
 *   decided is not written; what is there is intact.
 */
export class MaintenanceError extends DrayError<
  'maintenance-owner' | 'maintenance-clock' | 'maintenance-running' | 'maintenance-late'
> {}
