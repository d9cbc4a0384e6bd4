package store

// Attempts bounds how often a verb starts again after somebody else wrote first.
const Attempts = 8
