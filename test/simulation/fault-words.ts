/** What the faults share: who makes them, and how they tell of a time. */
export const USER = 'user';

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
