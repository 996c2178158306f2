/** `npm run test:damage`: every byte of the small repository of `damage.test.ts`; packs above 9 KiB are sampled. Prints counts. */
import { temporaryFolder } from '../support/temporary.ts';
import { makeDamageWorld } from './damage-world.ts';
import { flipBystanders, flipFormat, flipPacks, flipWhatOpens } from './flip-bytes.ts';

await using folder = await temporaryFolder('damage-run');
const world = await makeDamageWorld(folder.path);
const say = (text: string): void => void process.stdout.write(`${text}\n`);
say(`format blobs and .shards: ${JSON.stringify(await flipFormat(world, 'all'))}`);
say(`session marker, maintenance: ${await flipBystanders(world, 'all')} bytes, each named`);
say(`index blobs and manifests: ${await flipWhatOpens(world, 'all')} bytes, each refused by name`);
say(`packs: ${await flipPacks(world, 'all')} bytes, each named, or padding and harmless`);
