/*
 * An event loop of libtevent, which needs talloc itself: what the program makes
 * and what libtevent makes are in one tree, by one allocator.
 */
#include <check.h>

#include <tevent.h>

static int timers, reads, deaths;

static int died(char *p)
{
	(void)p;
	deaths++;
	return 0;
}

static void on_timer(struct tevent_context *ev, struct tevent_timer *timer,
		     struct timeval now, void *data)
{
	char *state = talloc_get_type_abort(data, char);

	(void)timer;
	(void)now;
	timers++;
	state[0]++;
	if (timers < 3) {
		check(tevent_add_timer(ev, state, tevent_timeval_current_ofs(0, 1000),
				       on_timer, state) != NULL);
	}
}

static void on_read(struct tevent_context *ev, struct tevent_fd *fde,
		    uint16_t flags, void *data)
{
	char byte;

	(void)ev;
	check(flags & TEVENT_FD_READ);
	check(read(*(int *)data, &byte, 1) == 1);
	reads++;
	printf("read %c, parent of the fd event: %s\n", byte,
	       talloc_get_name(talloc_parent(fde)));
	if (reads == 3) {
		talloc_free(fde);
	}
}

static void on_immediate(struct tevent_context *ev, struct tevent_immediate *im,
			 void *data)
{
	(void)ev;
	(void)im;
	*(int *)data = 1;
}

struct request_state {
	int value;
};

static void on_request(struct tevent_req *req)
{
	struct request_state *state = tevent_req_data(req, struct request_state);
	int *result = (int *)tevent_req_callback_data_void(req);

	*result = state->value;
}

int main(void)
{
	void *root = talloc_named_const(NULL, 0, "root");
	void *holder = talloc_named_const(root, 0, "holder");
	struct tevent_context *ev = tevent_context_init(root);
	struct tevent_fd *fde;
	struct tevent_req *req;
	struct request_state *request_state;
	struct tevent_immediate *im;
	int fds[2], immediate = 0, result = 0;
	char *state, *p;

	talloc_set_log_fn(log_line);
	check(ev != NULL);

	section("made by libtevent, seen by the program");
	printf("%s below %s\n", who(ev), who(talloc_parent(ev)));
	show(talloc_get_type(ev, struct tevent_context) == ev);
	show(talloc_total_blocks(root) > 2);
	show(talloc_is_parent(ev, root));

	section("timers");
	state = talloc_zero(ev, char);
	check(tevent_add_timer(ev, state, tevent_timeval_zero(), on_timer, state) != NULL);
	while (timers < 3) {
		check(tevent_loop_once(ev) == 0);
	}
	show(timers);
	show(state[0]);

	section("file descriptors");
	check(pipe(fds) == 0);
	fde = tevent_add_fd(ev, ev, fds[0], TEVENT_FD_READ, on_read, &fds[0]);
	check(fde != NULL);
	printf("steal: %s\n", who(talloc_steal(holder, fde)));
	check(write(fds[1], "abc", 3) == 3);
	while (reads < 3) {
		check(tevent_loop_once(ev) == 0);
	}
	show(reads);
	show(talloc_total_blocks(holder));

	section("immediates");
	im = tevent_create_immediate(holder);
	check(im != NULL);
	tevent_schedule_immediate(im, ev, on_immediate, &immediate);
	check(tevent_loop_once(ev) == 0);
	show(immediate);
	printf("moved: %s\n", who(talloc_steal(root, im)));

	section("requests");
	req = tevent_req_create(root, &request_state, struct request_state);
	check(req != NULL);
	request_state->value = 42;
	printf("%s, its state below it: %d\n", who(req),
	       talloc_is_parent(request_state, req));
	tevent_req_done(req);
	tevent_req_post(req, ev);
	tevent_req_set_callback(req, on_request, &result);
	while (result == 0) {
		check(tevent_loop_once(ev) == 0);
	}
	show(result);
	show(talloc_free(req));

	section("freed by libtevent, made by the program");
	p = talloc_named_const(ev, 10, "below the event context");
	talloc_set_destructor(p, died);
	p = talloc_named_const(state, 10, "below the state");
	talloc_set_destructor(p, died);
	talloc_reference(holder, ev);
	show(talloc_unlink(root, ev));
	printf("parent of ev: %s\n", who(talloc_parent(ev)));
	show(talloc_free(holder));
	show(deaths);
	show(talloc_free(root));
	show(talloc_test_get_magic() != 0);
	return 0;
}
