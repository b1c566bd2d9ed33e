// The conformance suite on Redis: on the server that REDIS names, or on a private one.
import { testTransport } from "./conformance.ts";
import { redisSetup, redisUri } from "./support/redis_setup.ts";

testTransport("redis", redisSetup(await redisUri()));
