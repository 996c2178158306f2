/** Only the owner maintains a repository: an identity, not a lock (Kopia `maintenance_run.go`). */
import { type Identity, identityText } from '../repository/repository.ts';
import { MaintenanceError } from './maintenance-error.ts';

/** @throws {MaintenanceError} `maintenance-owner` */
export function requireOwner(owner: string | undefined, identity: Identity): void {
  const own = identityText(identity);
  if (owner === own) return;
  const who = owner === undefined ? 'nobody owns its maintenance' : `its maintenance is owned by ${owner}`;
  throw new MaintenanceError('maintenance-owner', `${who}, and this is ${own}`);
}
