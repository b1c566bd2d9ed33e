// The conformance suite on Redis: on the server that REDIS names, or on a private one.
import { testTransport } from "./conformance.ts";
import { adminOf, redisSetup, redisUri } from "./support/redis_setup.ts";

const uri = await redisUri();
const admin = await adminOf(uri);
const setup = redisSetup(uri, admin);

testTransport("redis", setup);
