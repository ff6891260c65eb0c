document.getElementById("path").textContent = location.pathname;
const answer = await fetch("/api/hello");
document.getElementById("api").textContent = JSON.stringify(await answer.json());
