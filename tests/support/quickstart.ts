/** What `examples/quickstart.ts` prints. */
export const quickstartOutput = `got foo
nothing arrived within 100 ms
2 × 2 = 4
3 × 3 = 9
4 × 4 = 16
the worker's loop has ended: the channel is closed for everyone
no more jobs: closeAll
`;
