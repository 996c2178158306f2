/** The rows of the source tree, bottom to top. A folder imports only from lower rows, never sideways, never up. */
export const layers: readonly (readonly string[])[] = [
  ['std'],
  ['kernel'],
  ['blobs', 'grpc', 'api'],
  ['volume', 'resources'],
  ['pool', 'repository', 'nbd', 'migration'],
  ['changes'],
  ['transfer', 'recovery', 'peer', 'maintenance'],
  ['controllers', 'csi', 'cli', 'dashboard'],
  ['programs'],
];
