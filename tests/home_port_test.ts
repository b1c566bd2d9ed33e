// The conformance suite over this pipe. homes/conformance.ts selects what is behind the home: memory, a file or BROKER.
import { testHomes } from "./homes/conformance.ts";

await testHomes("port");
