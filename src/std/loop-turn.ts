/** Resolves when the event loop has had a turn: what has completed meanwhile has then been seen to. */
export async function loopTurn(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}
