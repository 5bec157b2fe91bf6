SELECT notifications.subscription_id, subscriptions.address, notifications.event, notifications.tries,
  notifications.error, notifications.given_up_at IS NOT NULL AS given_up
FROM notifications
JOIN subscriptions ON subscriptions.id = notifications.subscription_id
WHERE notifications.sent_at IS NULL AND notifications.error IS NOT NULL
  AND (notifications.given_up_at IS NULL OR notifications.given_up_at > now() - interval '1 day')
ORDER BY notifications.created_at DESC
LIMIT %(most)s
