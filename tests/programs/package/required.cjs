module.exports = (entry) => require(entry);
