// Runs before the first paint, so that a chosen theme never flashes the other one.
try {
	var t = localStorage.getItem("theme")
	if (t === "light" || t === "dark") document.documentElement.dataset.theme = t
} catch {}
