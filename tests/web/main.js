// The program that bundlers make a script of: whoever runs it awaits `result`.

import { exercise } from "./exercise.js";

globalThis.result = exercise();
