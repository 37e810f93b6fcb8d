throw new Error('not installed: only the client half of rivetkit is tested here');
