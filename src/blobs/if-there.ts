import { hasCode } from '../std/dray-error.ts';

/** What came of asking for a blob; undefined when it is not there. @throws every other failure */
export async function ifThere<Found>(asked: Promise<Found>): Promise<Found | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (hasCode(error, 'blob-not-found')) return undefined;
    throw error;
  }
}
