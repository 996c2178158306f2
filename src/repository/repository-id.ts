/** What a repository is known by, wherever it lies: its format blob's own id, hexadecimal. It is readable before the key is made. */
export function repositoryId({ uniqueId }: { readonly uniqueId: Uint8Array }): string {
  return Buffer.from(uniqueId).toString('hex');
}
